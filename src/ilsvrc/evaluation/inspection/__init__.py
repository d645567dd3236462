"""Inspection of trained networks: first kernels, nearest neighbours, occlusion maps and saliency maps."""
