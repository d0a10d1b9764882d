"""Training of the live family: photos and their label maps in, a weights file with its model card out."""
