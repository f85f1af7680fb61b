"""Break it on purpose, keep the evidence. Nothing here imports pileus: it gets an endpoint."""
