"""The other way to learn from an archive: images and their reports, contrastively; the baseline of a study on text.

As CLIP (Radford et al. 2021) and ConVIRT (Zhang et al. 2022) do it, with the encoder, the views and the images of the
self-distillation that it is compared with.
"""
