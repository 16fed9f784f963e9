"""What the operator costs and how fast it acts, on a real API server and on the embedded one."""
