"""How a push shows who sends it: one module per scheme, pure but for the token server's client and the cache."""
