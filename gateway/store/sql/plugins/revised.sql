UPDATE plugin_revision SET revision = revision + 1
