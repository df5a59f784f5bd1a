"""What was measured where Headroom is not installed, brought to where it is."""
