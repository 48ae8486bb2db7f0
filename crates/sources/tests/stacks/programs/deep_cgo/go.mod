module deep

go 1.18
