package console

func (c *Console) scheduleRoutes() []route { return nil }
