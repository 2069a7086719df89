"""`python -m app.cli` is `faust-onnx`."""

from app.cli import main

main()
