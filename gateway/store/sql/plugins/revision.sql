SELECT revision FROM plugin_revision
