"""Parse the containers of image files without decoding pixels."""
