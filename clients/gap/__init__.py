"""The domain gap: how far what a simulator shows is from what real streets look like."""
