"""Pretrained weights of torchvision, timm and files."""
