"""What a device string asks for, which GPUs there are, and what fits them."""
