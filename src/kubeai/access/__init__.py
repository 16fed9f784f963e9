"""Who may ask for what, how much of it, and how much they had: API keys, and proxies that know their users."""
