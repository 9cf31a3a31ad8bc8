"""Looking into a network: Grad-CAM, gates of SE and CBAM, overlays.

`overlay` needs numpy and Pillow only; `network`, `gradcam` and `gates` need torch, so import them where
they are used.
"""
