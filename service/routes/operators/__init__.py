"""What only operators may call, below ``/ops/``."""
