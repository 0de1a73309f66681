"""The places readings come from: a simulated building, recorded data, and the client that sends both to the hub."""
