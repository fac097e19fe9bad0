"""The laptop's shell: the core over SQLite and the gateway's own sockets, in one process."""
