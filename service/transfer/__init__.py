"""Movies and logs into files and out of them."""
