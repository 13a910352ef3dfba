"""Plain PyTorch references that the engines are measured against. They need the extra ``torch``."""
