"""Who is told of what fails, and when: incidents, their texts, and the sensor that looks for them."""
