"""glasscache."""
