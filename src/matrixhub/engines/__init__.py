"""The embedded PostgreSQL and NATS servers: found, started, watched, started again, stopped.

    with DataDirectory.open(path) as directory:
        async with open_engines(directory, settings.engines, observe) as engines:
            ...  # engines.endpoints says where they are; engines.run(stop) keeps them alive

In the order of a start: `directory` (lock and secrets), `account` (who the engines run as), `binaries`, `ports`,
`leftovers` of a killed hub, `postgres` and `nats` (how each is set up and asked whether it answers), `process`, and
`embedded`, which puts it together.
"""

from matrixhub.engines.certificates import authority_path
from matrixhub.engines.directory import DataDirectory, HubSecrets, read_running, read_secrets
from matrixhub.engines.embedded import EmbeddedEngines, Endpoints, open_engines

__all__ = [
    "DataDirectory",
    "EmbeddedEngines",
    "Endpoints",
    "HubSecrets",
    "authority_path",
    "open_engines",
    "read_running",
    "read_secrets",
]
