"""One untrusted file becomes squares of pixels, or a reason why not."""
