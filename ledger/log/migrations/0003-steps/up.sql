-- Steps of a rollout (fact 17: present, widest and, from version 3 of the log on, how many it took since). Programs before this
-- one counted in other ways, or not at all: the count is taken off here, and made again of the leaves (src/sqlite/steps.rs).
UPDATE fact SET value = substr(value, 1, 2) WHERE kind = 17;
