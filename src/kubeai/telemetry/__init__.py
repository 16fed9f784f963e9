"""What the program tells about itself: metrics whose names are a contract, and logs."""
