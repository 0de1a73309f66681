"""Who may do what: roles and groups of users, and what is kept of them in memory."""
