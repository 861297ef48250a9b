"""Kernels on CUDA devices: arrays, machine code, launches; by the driver alone."""
