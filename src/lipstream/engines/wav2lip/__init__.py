"""The engine ``wav2lip``: the published Wav2Lip generator, run from the official checkpoints.

Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild", ACM MM 2020,
arXiv:2008.10010. The code here is lipstream's own; the weights are the user's to bring, under their own licence.
"""
