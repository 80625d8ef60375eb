import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

/** Calls by name what differs between versions of the Java client: a method that some lack, or under another name. */
class Calls {
	static Method find(Class<?> type, String name, Class<?>... parameters) {
		try {
			return type.getMethod(name, parameters);
		} catch (NoSuchMethodException e) {
			return null;
		}
	}

	/** Calls the first of the names (separated by |) that the object has with as many parameters. */
	static Object call(Object on, String names, Object... arguments) throws Exception {
		for (String name : names.split("\\|"))
			for (Method m : on.getClass().getMethods())
				if (m.getName().equals(name) && m.getParameterCount() == arguments.length && fits(m, arguments)) {
					m.setAccessible(true);
					try {
						return m.invoke(on, arguments);
					} catch (InvocationTargetException e) {
						throw e.getCause() instanceof Exception ? (Exception) e.getCause() : e;
					}
				}
		throw new NoSuchMethodException(names + " of " + on.getClass());
	}

	static boolean has(Object on, String name) {
		for (Method m : on.getClass().getMethods())
			if (m.getName().equals(name))
				return true;
		return false;
	}

	private static boolean fits(Method m, Object[] arguments) {
		Class<?>[] types = m.getParameterTypes();
		for (int i = 0; i < types.length; i++)
			if (arguments[i] != null && !types[i].isPrimitive() && !types[i].isInstance(arguments[i]))
				return false;
		return true;
	}
}
