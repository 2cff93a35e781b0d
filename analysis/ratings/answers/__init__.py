"""What people answered: sheets and page as one tidy table, judged as their protocol demands."""
