"""Networks: generators, critics, timm encoders and weight initialisation."""
