"""What runs inside a container of the sandbox image. Imports nothing that the image has not."""
