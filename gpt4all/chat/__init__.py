"""Conversations: templates, histories, and the prompts they become."""
