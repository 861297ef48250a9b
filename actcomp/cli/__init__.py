"""The command line, ``python -m actcomp``. It uses the public API only."""
