"""Other people's programs in the lab: the shim they live under, and who looks after them."""
