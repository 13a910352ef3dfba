"""How the built-in weights were made: landmarks and speech in, ``motion.npz`` out. See README.md."""
