"""Where images come from: folders, archives, videos, object stores."""
