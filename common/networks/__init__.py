"""Networks: the pix2pix generator and critic, and how weights are drawn."""
