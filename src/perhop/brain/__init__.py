"""The built-in Realtime server's mind: turn detection, speech to text, dialogue and text to speech."""
