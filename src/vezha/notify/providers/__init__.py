"""Ways to reach people, one folder each."""
