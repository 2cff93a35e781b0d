"""The plain implementations that the product is measured against."""
