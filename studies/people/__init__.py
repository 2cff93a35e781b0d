"""The human study: its folder, pictures, sheets and answers, and sweeps that people steer."""
