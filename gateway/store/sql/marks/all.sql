-- Least lately used first, so that loading in this order restores the order of use.
SELECT device, epoch, highest, complete, durable FROM marks ORDER BY device, used, epoch
