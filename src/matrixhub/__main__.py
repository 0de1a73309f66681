"""`python -m matrixhub` is the command `matrixhub`."""

from matrixhub.cli import main

main()
