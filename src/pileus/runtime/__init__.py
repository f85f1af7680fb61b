"""Where other people's code runs: workers, fork-server, jail, Runtime API, layers."""
