"""Tell clients by signed HTTP requests that their work is finished."""
