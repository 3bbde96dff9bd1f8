package console

func (c *Console) notificationRoutes() []route { return nil }
