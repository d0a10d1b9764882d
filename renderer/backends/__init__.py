"""How a network is run on a device: process settings, precision, CUDA graphs."""
