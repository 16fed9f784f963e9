"""What the embedded server makes of an object before it stores it, or why it refuses it. All of it is pure."""
