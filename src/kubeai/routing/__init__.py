"""Which replica answers a request: endpoints, the strategies that choose among them, and the waiting for one."""
