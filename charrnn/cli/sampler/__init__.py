"""The `sample` command: from its flags to the texts that it writes."""
